//! PostObject: a form of a browser.

use crate::answers::no_encryption;
use crate::events::Kind;
use crate::forms::Seen;
use crate::head::Head;
use crate::ops::Request;
use crate::ops::put_object::put;
use crate::tags::header_of_form;
use s3s::dto::{PostObjectInput, PostObjectOutput, PutObjectInput};
use s3s::{S3Response, S3Result};
use vfs::Vfs;

/// See the S3 reference. The form's policy has been checked before.
pub(crate) async fn post_object<V: Vfs>(
    head: &Head<V>,
    mut request: Request<PostObjectInput>,
) -> S3Result<S3Response<PostObjectOutput>> {
    let form = &request.input;
    let asks = form.server_side_encryption.is_some()
        || form.sse_customer_algorithm.is_some()
        || form.sse_customer_key.is_some()
        || form.sse_customer_key_md5.is_some()
        || form.ssekms_key_id.is_some()
        || form.ssekms_encryption_context.is_some()
        || form.bucket_key_enabled.is_some();
    if asks {
        return Err(no_encryption());
    }
    let seen = request.extensions.get::<Seen>();
    let tagging = seen.map(Seen::tagging).transpose()?.flatten();
    request.input.tagging = tagging.as_deref().map(header_of_form).transpose()?;
    let request = request.map_input(|form: PostObjectInput| PutObjectInput {
        acl: form.acl,
        body: form.body,
        bucket: form.bucket,
        cache_control: form.cache_control,
        checksum_algorithm: form.checksum_algorithm,
        checksum_crc32: form.checksum_crc32,
        checksum_crc32c: form.checksum_crc32c,
        checksum_crc64nvme: form.checksum_crc64nvme,
        checksum_sha1: form.checksum_sha1,
        checksum_sha256: form.checksum_sha256,
        content_disposition: form.content_disposition,
        content_encoding: form.content_encoding,
        content_language: form.content_language,
        content_md5: form.content_md5,
        content_type: form.content_type,
        expires: form.expires,
        grant_full_control: form.grant_full_control,
        grant_read: form.grant_read,
        grant_read_acp: form.grant_read_acp,
        grant_write_acp: form.grant_write_acp,
        key: form.key,
        metadata: form.metadata,
        storage_class: form.storage_class,
        tagging: form.tagging,
        website_redirect_location: form.website_redirect_location,
        ..PutObjectInput::default()
    });
    let put = put(head, request, Kind::Post).await?;
    Ok(put.map_output(|output| PostObjectOutput {
        e_tag: output.e_tag,
        version_id: output.version_id,
        ..PostObjectOutput::default()
    }))
}
